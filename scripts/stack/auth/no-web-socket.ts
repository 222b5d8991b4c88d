/**
 * A `transport` for supabase-js where there is no Realtime to talk to. Node has a WebSocket of its own from version
 * 22 on, and before that `createClient` throws without a transport.
 */
export class NoWebSocket extends EventTarget {
  readonly CONNECTING = 0;
  readonly OPEN = 1;
  readonly CLOSING = 2;
  readonly CLOSED = 3;
  readonly readyState = 3;
  readonly url = "";
  readonly protocol = "";
  onopen = null;
  onmessage = null;
  onclose = null;
  onerror = null;

  constructor() {
    super();
    throw new Error("The local stack has no Realtime.");
  }

  close(): void {}

  send(): void {}
}
