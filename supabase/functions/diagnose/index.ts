import { serveDiagnose } from "../_shared/serve-diagnosis.ts";

export default serveDiagnose();
