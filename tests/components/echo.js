// Answers a text with that text, as `plugins/echo` does in Rust.
import { sendText } from "beadle:plugin/replies@0.1.0";

export const onMessage = {
  handle({ content }) {
    if (content.tag !== "text") return "pass";
    sendText({ body: content.val, previewUrl: false });
    return "claimed";
  },
};
