import { serveMembers } from "../_shared/serve-members.ts";

export default serveMembers();
