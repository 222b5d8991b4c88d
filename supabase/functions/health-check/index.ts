import { serveHealthCheck } from "../_shared/serve-health-check.ts";

export default serveHealthCheck();
