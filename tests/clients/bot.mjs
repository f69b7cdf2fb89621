// A bot that replies with the text that it gets, as the documentation of whatsapp-api-js and node:http suggests: what the
// bench compares with. Usage: bot.mjs GRAPH_URL ACCESS_TOKEN APP_SECRET. It prints its address.

import { createServer } from "node:http";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const library = createRequire(join(process.env.BEADLE_CLIENTS, "package.json"));
const take = (name) => import(pathToFileURL(library.resolve(name)));
const { WhatsAppAPI } = await take("whatsapp-api-js/middleware/node-http");
const { Text } = await take("whatsapp-api-js/messages");

const [graph, token, appSecret] = process.argv.slice(2);
const bot = new WhatsAppAPI({
  token, appSecret, v: "v26.0",
  ponyfill: { fetch: (url, options) => fetch(String(url).replace("https://graph.facebook.com", graph), options) },
});
bot.on.message = async ({ message, reply }) => {
  if (message.type === "text") await reply(new Text(message.text.body));
};
const server = createServer(async (request, response) => {
  response.statusCode = await bot.handle_post(request);
  response.end();
});
server.listen(0, "127.0.0.1", () => console.log(`listening on 127.0.0.1:${server.address().port}`));
