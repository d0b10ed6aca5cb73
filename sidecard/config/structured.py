"""What can be configured of answers that are asked for with a schema, as in `schema`."""

from pydantic import Field

from sidecard.config.kinds import Reasks, Seconds, Section


class Structured(Section):
    """What is done for answers that are asked for with a schema (`output_schema`)."""

    reasks: Reasks = Field(
        1,
        description="How often a model whose whole answer breaks the schema is told what is wrong "
        "and asked again, before the next target is. Each counts as an attempt, and is paid for. "
        "0: the next target is asked at once. Streams, which were delivered, end with an error.",
    )
    check_s: Seconds = Field(
        1.0,
        description="Seconds of CPU time that a schema may take to be compiled, or to hold one "
        "answer against. One that takes longer is refused from then on. More lets a caller keep a "
        "core busy for longer, and the other calls that have a schema waiting.",
    )
