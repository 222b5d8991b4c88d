import { serveRemediate } from "../_shared/serve-remediation.ts";

export default serveRemediate();
