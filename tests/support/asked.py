"""A user's own labeler: how light each frame is. It notes in a file what it was asked, and may be slow, or fail."""

import time

from taskprompt import Answer, Labeler, Question, SpecError


class Asked(Labeler):
    """The mean of each frame, 0 to 1."""

    log: str  # a line a clip that was asked about
    version: int = 1
    seconds: float = 0.0  # a batch
    refused: tuple[str, ...] = ()  # keys
    broken: str = ""  # what is wrong with its model

    def questions(self):
        return (Question("light", {"version": self.version}),)

    def build(self):
        if self.broken:
            raise SpecError(self.broken)

        def ask(samples, wanted):
            time.sleep(self.seconds)
            with open(self.log, "a") as file:
                file.writelines(f"{s.key}\n" for s in samples)
            return [{"light": self._answer(s)} for s in samples]

        return ask

    def _answer(self, sample):
        if sample.key in self.refused:
            return Answer(error="refused: too dark")
        return Answer((sample.clip.video.mean((1, 2, 3)) / 255).tolist(), used={"tokens": 2})
