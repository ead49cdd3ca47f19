"""The one kind of error a user is meant to read: what is wrong, where, and what to do about it."""


class InputError(ValueError):
    """Bad input, said in one line that names the place, the fault and the remedy.

    Stages and console commands print it without a traceback and exit with status 2.
    """

    def __init__(self, where: object, fault: str, remedy: str = "") -> None:
        """
        Args:
            where: the file, config key or field at fault, as the user knows it.
            fault: what is wrong with it, with the value that was found.
            remedy: what the user can do; may be empty where the fault says it already.
        """
        self.where, self.fault, self.remedy = str(where), fault, remedy
        text = f"{where}: {fault}" + (f"; {remedy}" if remedy else "")
        super().__init__(" ".join(text.split()))


class Diverged(ArithmeticError):
    """A computation that ended in NaN or overflow: a result with its reason, not a crash."""
