"""Two tasks with a metric of one name, of which one has to be small and the other large."""

from brightness import Brightness

from taskprompt import Metric


class Less(Brightness):
    """How far the output is from the target."""

    def metrics(self, output, target):
        return {"score": (output - target["level"]).abs().mean(-1)}

    def measures(self):
        return (Metric("score", "", "min"),)


class More(Brightness):
    """The same below zero."""

    def metrics(self, output, target):
        return {"score": -(output - target["level"]).abs().mean(-1)}

    def measures(self):
        return (Metric("score", "", "max"),)
