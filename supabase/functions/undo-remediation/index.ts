import { serveUndo } from "../_shared/serve-undo.ts";

export default serveUndo();
