import { serveFreeze } from "../_shared/serve-freeze.ts";

export default serveFreeze();
