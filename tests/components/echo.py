"""Replies to a text with the same text, like `plugins/echo`."""

from wit_world import exports
from wit_world.imports import replies
from wit_world.imports.outgoing import Text
from wit_world.imports.types import Content_Text, Disposition


class OnMessage(exports.OnMessage):
    def handle(self, event):
        if not isinstance(event.content, Content_Text):
            return Disposition.PASS
        replies.send_text(Text(body=event.content.value, preview_url=False, quote=None))
        return Disposition.CLAIMED
