// A fake daemon: answers the handshake, checks signatures, and replies with buttons and lists.

import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

export const SECRETS = { appSecret: "page-secret", verifyToken: "page-verify", accessToken: "page-token" };
const NUMBER = "106540352242922";

const signature = (body) => `sha256=${createHmac("sha256", SECRETS.appSecret).update(body).digest("hex")}`;

/** Starts it; `answer(message, send)` is called for each message. `graph` is set once the simulator's address is known. */
export async function startDaemon(answer) {
  const daemon = { graph: null, forged: 0, messages: [], statuses: [], groups: [], problems: [] };
  const send = async (to, body) => {
    const response = await fetch(`${daemon.graph}/v26.0/${NUMBER}/messages`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${SECRETS.accessToken}` },
      body: JSON.stringify({ messaging_product: "whatsapp", ...(to ? { to } : {}), ...body }),
    });
    if (!response.ok) daemon.problems.push(await response.text());
    return response.json();
  };
  const server = createServer((request, response) => {
    const url = new URL(request.url, "http://daemon");
    if (request.method === "GET") {
      const known = url.searchParams.get("hub.verify_token") === SECRETS.verifyToken;
      response.writeHead(known ? 200 : 403).end(known ? url.searchParams.get("hub.challenge") : "");
      return;
    }
    const chunks = [];
    request.on("data", (chunk) => chunks.push(chunk));
    request.on("end", () => {
      const body = Buffer.concat(chunks);
      const given = Buffer.from(request.headers["x-hub-signature-256"] ?? "");
      const right = Buffer.from(signature(body));
      if (given.length !== right.length || !timingSafeEqual(given, right)) {
        daemon.forged += 1;
        response.writeHead(403).end();
        return;
      }
      response.writeHead(200).end();
      for (const { value } of JSON.parse(body).entry.flatMap((entry) => entry.changes)) {
        daemon.statuses.push(...(value.statuses ?? []));
        daemon.groups.push(...(value.groups ?? []));
        for (const message of value.messages ?? []) {
          daemon.messages.push(message);
          answer(message, send).catch((error) => daemon.problems.push(String(error)));
        }
      }
    });
  });
  await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
  daemon.callback = `http://127.0.0.1:${server.address().port}/webhooks/main`;
  daemon.close = () => new Promise((closed) => { server.close(closed); server.closeAllConnections(); });
  return daemon;
}

/** Replies like a small community. */
export async function community(message, send) {
  const to = message.from;
  const reply = message.interactive?.button_reply ?? message.interactive?.list_reply;
  if (message.type === "reaction" || message.type === "system") return;
  const read = { status: "read", message_id: message.id };
  if (message.group_id || !["text", "interactive"].includes(message.type)) {
    await send(null, read);
    if (message.type === "image" && !message.group_id) await send(to, { type: "text", text: { body: "What a picture! Thank you 🧡" } });
    return;
  }
  await send(null, { ...read, typing_indicator: { type: "text" } });
  // A person takes over: no reply.
  if (/^human/i.test(message.text?.body ?? "")) return;
  if (reply?.id === "rules-yes") {
    await send(to, { type: "reaction", reaction: { message_id: message.id, emoji: "🎉" } });
    await send(to, { type: "interactive", interactive: topics() });
  } else if (reply) {
    await send(to, { type: "text", text: { body: `Noted: *${reply.title}*. See you there!` } });
  } else if (/^help/i.test(message.text?.body ?? "")) {
    await send(to, { type: "text", text: { body: "Write *STOP* to leave, or _human_ to talk to a person.\nhttps://example.org/rules" } });
  } else {
    await send(to, { type: "interactive", interactive: welcome() });
  }
}

const welcome = () => ({
  type: "button",
  header: { type: "text", text: "Welcome to Harbour Street" },
  body: { text: "Good to have you here! We share *lifts*, tools and news from the street.\n\nAre our house rules fine with you?" },
  footer: { text: "You can leave at any time with STOP" },
  action: { buttons: [
    { type: "reply", reply: { id: "rules-yes", title: "Yes, count me in" } },
    { type: "reply", reply: { id: "rules-read", title: "Show me the rules" } },
  ] },
});

const topics = () => ({
  type: "list",
  body: { text: "Lovely. What would you like to hear about?" },
  action: { button: "Choose a topic", sections: [
    { title: "On the street", rows: [
      { id: "lifts", title: "Lifts", description: "who drives where, and when" },
      { id: "tools", title: "Tool library", description: "ladders, drills, a cement mixer" },
    ] },
    { title: "Together", rows: [{ id: "feast", title: "Summer feast", description: "26 June, on the quay" }] },
  ] },
});
