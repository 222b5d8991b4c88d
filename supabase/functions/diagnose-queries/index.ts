import { serveDiagnosis } from "../_shared/serve-diagnosis.ts";

export default serveDiagnosis("slow-queries", { endpoint: "diagnose-queries" });
