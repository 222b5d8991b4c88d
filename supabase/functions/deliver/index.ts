import { serveDeliver } from "../_shared/serve-deliver.ts";

export default serveDeliver();
