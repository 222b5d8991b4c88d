import { serveExplainAccess } from "../_shared/serve-explain-access.ts";

export default serveExplainAccess();
