"""Chat with the model of a running stack (`make chat`).

    python -m tools.chat STATE STACK

`STATE` is a file in the form of `pulumi stack export`. Each line of standard input is a message; answers stream to
standard output, everything else goes to standard error, so a pipe gets the answers alone. Ctrl-C stops an answer,
Ctrl-D ends. Runs in .venv, with the packages of the group `program`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2

from tools.bootstrap import console
from tools.bootstrap.console import CliError
from verify import access
from verify.access import ServedModel
from verify.chat_completion import ChatCompletion, CompletionFailed

PROMPT = "You:   "
Messages = list[dict[str, str]]


class Chat:
    """A conversation with a model."""

    def __init__(self, served: ServedModel) -> None:
        self._served = served
        self._messages: Messages = []

    def ask(self, text: str) -> None:
        """Send a message and print the answer as it arrives, then its speed.

        An answer that Ctrl-C stops stays in the conversation as far as it came. A message without an answer does not.
        """
        self._messages.append({"role": "user", "content": text})
        answer = ChatCompletion()
        try:
            self._stream(answer)
        except KeyboardInterrupt:
            _note("\n(stopped)")
        except (CompletionFailed, httpx2.HTTPError) as error:
            _note(f"\nNo answer from {self._served.endpoint}: {error or type(error).__name__}")
        else:
            print(flush=True)
            _note(f"({answer.summary()})")
        if answer.text:
            self._messages.append({"role": "assistant", "content": answer.text})
        else:
            self._messages.pop()

    def _stream(self, answer: ChatCompletion) -> None:
        """Print the answer. Leave out the oldest messages if the model's context cannot hold the conversation."""
        while True:
            try:
                for part in answer.stream(self._served.endpoint, self._served.model, self._messages):
                    print(part, end="", flush=True)
                return
            except CompletionFailed as error:
                if error.status != httpx2.codes.BAD_REQUEST or len(self._messages) < 3:
                    raise
                del self._messages[:2]
                _note("(The model's context is full: the oldest message and its answer are left out.)")


def main() -> int:
    """Run the chat until the end of standard input. Return 0."""
    state, stack = Path(sys.argv[1]), sys.argv[2]
    try:
        with access.reach(state, stack) as served:
            _note(f"{served.model}, through {served.way}. Ctrl-C stops an answer, Ctrl-D ends.\n")
            chat = Chat(served)
            if sys.stdin.isatty():
                with _foreground():
                    _talk(chat)
            else:
                for line in filter(None, map(str.strip, sys.stdin)):
                    chat.ask(line)
    except access.Unreachable as error:
        raise CliError(str(error)) from None
    return 0


def _talk(chat: Chat) -> None:
    """Read messages from the terminal until Ctrl-D."""
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401  # gives input() its line editing and history
    while True:
        try:
            if text := input(PROMPT).strip():
                print("Model: ", end="", flush=True)
                chat.ask(text)
        except KeyboardInterrupt:
            _note("\nCtrl-D ends the chat.")
        except EOFError:
            print()
            return


@contextlib.contextmanager
def _foreground() -> Iterator[None]:
    """Be the terminal's foreground process group alone: Ctrl-C then reaches neither `make` nor tools/cli.py."""
    terminal, previous = sys.stdin.fileno(), os.getpgrp()
    # A background process that changes the foreground group gets SIGTTOU; a stopped chat would hold the terminal.
    for each in (signal.SIGTTOU, signal.SIGTSTP):
        signal.signal(each, signal.SIG_IGN)
    # A parent that ignores Ctrl-C (`nohup`, a background job of a script) passes that on.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if previous != os.getpid():
        os.setpgid(0, 0)
    os.tcsetpgrp(terminal, os.getpgrp())
    try:
        yield
    finally:
        os.tcsetpgrp(terminal, previous)


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    console.main(main)
