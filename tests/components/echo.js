// Replies to a text with the same text, like `plugins/echo`.
import { sendText } from "beadle:plugin/replies@0.1.0";

export const onMessage = {
  handle({ content }) {
    if (content.tag !== "text") return "pass";
    sendText({ body: content.val, previewUrl: false });
    return "claimed";
  },
};
