import { serveRuns } from "../_shared/serve-runs.ts";

export default serveRuns();
