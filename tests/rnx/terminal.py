"""A terminal for the tests of rnx: a pty with a program on it, and a screen that does what a terminal does with the few
sequences that rnx may use. Any other sequence, and a character in the last column of a line that lives, is an error."""
import fcntl
import os
import re
import select
import signal
import struct
import subprocess
import termios
import time
import unicodedata


def columns(character):
    return 2 if unicodedata.east_asian_width(character) in "WF" else 0 if unicodedata.combining(character) else 1


class Screen:
    """Endless downwards. Lines longer than the width go on in the next one, as a terminal does it."""

    def __init__(self, width):
        self.width = width
        self.rows, self.row, self.column = [""], 0, 0
        self.written = b""
        self.rest = ""

    def feed(self, data):
        self.written += data
        text = self.rest + data.decode()
        self.rest = ""
        while text:
            if text[0] == "\x1b":
                sequence = re.match(r"\x1b\[([0-9;?]*)([@-~])", text)
                if not sequence:
                    self.rest = text
                    return
                self.obey(sequence)
                text = text[sequence.end():]
                continue
            self.put(text[0])
            text = text[1:]

    def obey(self, sequence):
        assert sequence[1] == "" and sequence[2] in "JK", "unexpected sequence %r" % sequence[0]
        self.rows[self.row] = self.rows[self.row][:self.column]
        if sequence[2] == "J":
            del self.rows[self.row + 1:]

    def put(self, character):
        if character == "\r":
            self.column = 0
        elif character == "\n":
            self.next_row()
        elif character < " " or "\x7f" <= character < "\xa0":
            raise AssertionError("control character %r on the terminal" % character)
        else:
            width = columns(character)
            if self.column + width > self.width:
                self.next_row()
                self.column = 0
            row = self.rows[self.row].ljust(self.column)
            # A wide character stands for itself and a cell behind it.
            self.rows[self.row] = row[:self.column] + character + "\0" * (width - 1) + row[self.column + width:]
            self.column += width

    def next_row(self):
        self.row += 1
        if self.row == len(self.rows):
            self.rows.append("")

    def resize(self, width):
        """Wraps lines that are too long, as many terminals do, with the cursor staying at its character."""
        wrapped, row, column = [], 0, 0
        for number, text in enumerate(self.rows):
            pieces = [text[i:i + width] for i in range(0, len(text), width)] or [""]
            if number == self.row:
                row, column = len(wrapped) + min(self.column // width, len(pieces) - 1), self.column % width
            wrapped += pieces
        self.width, self.rows, self.row, self.column = width, wrapped, row, column

    def lines(self):
        return [row.replace("\0", "").rstrip() for row in self.rows]

    def text(self):
        return "\n".join(self.lines())


class Program:
    """A program whose standard input, output and error are a terminal of its own."""

    def __init__(self, words, width, **more):
        self.leader, follower = os.openpty()
        self.screen = Screen(width)
        self.set_width(width)
        self.process = subprocess.Popen(words, preexec_fn=lambda: os.login_tty(follower), **more)
        os.close(follower)
        self.open = True

    def set_width(self, width):
        fcntl.ioctl(self.leader, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))

    def resize(self, width):
        self.screen.resize(width)
        self.set_width(width)
        # The kernel tells the foreground group of it, as it does when a window changes.
        self.process.send_signal(signal.SIGWINCH)

    def read(self, within):
        if not self.open or not select.select([self.leader], [], [], within)[0]:
            return
        try:
            data = os.read(self.leader, 65536)
        except OSError:  # nobody has it open any more
            data = b""
        self.open = bool(data)
        self.screen.feed(data)

    def until(self, check, within=60):
        """Reads until check(screen) is true."""
        end = time.monotonic() + within
        while not check(self.screen):
            assert self.open and time.monotonic() < end, "the screen never was as expected:\n" + self.screen.text()
            self.read(0.1)

    def type(self, data):
        os.write(self.leader, data)

    def attributes(self):
        return termios.tcgetattr(self.leader)

    def end(self, within=60):
        """Reads to the end. Returns the exit status."""
        end = time.monotonic() + within
        while self.open:
            assert time.monotonic() < end, "the program does not end"
            self.read(0.2)
        return self.process.wait(within)

    def close(self):
        os.close(self.leader)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
