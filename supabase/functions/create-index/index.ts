import { serveRemediation } from "../_shared/serve-remediation.ts";

export default serveRemediation("create-index");
