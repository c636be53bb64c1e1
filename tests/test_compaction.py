"""Long conversations fit the model, stay the same between two compactions, and lose nothing from the record."""

import pytest

from codeact.agent import Agent
from codeact.compaction import Compacting
from codeact.errors import ContextOverflow
from codeact.events import Note, ignore
from codeact.loop import NEVER, Budget
from codeact.messages import Call, Completion, Image, Message, Usage

ASK = {"stop": (), "observe": ignore, "cancel": NEVER}


class Small:
    """Reads so many characters and no more; tells tokens of four characters."""

    def __init__(self, most: int = 10**9, context_tokens: int | None = None, reply: str = "ok") -> None:
        self.most, self.context_tokens, self.reply = most, context_tokens, reply
        self.read: list[tuple[Message, ...]] = []

    def complete(self, messages, **options):
        size = sum(len(message.content) for message in messages)
        if size > self.most:
            raise ContextOverflow("too long")
        self.read.append(tuple(messages))
        return Completion(self.reply, usage=Usage(size // 4, 1))


def conversation(n_turns: int, size: int = 2_000) -> list[Message]:
    said = [Message("system", "rules"), Message("user", "the task")]
    for n in range(n_turns):
        said += [Message("assistant", f"step {n}"), Message("user", f"result {n} " + "x" * size)]
    return said


def test_what_fits_is_sent_as_it_is():
    model = Small(context_tokens=100_000)
    messages = conversation(5)
    Compacting(model).complete(messages, **ASK)
    assert model.read[0] == tuple(messages)


@pytest.mark.parametrize("model", [Small(context_tokens=4_000), Small(most=16_000)])
def test_too_long_a_conversation_is_shortened_oldest_first(model):
    messages, notes = conversation(40), []
    Compacting(model).complete(messages, stop=(), observe=notes.append, cancel=NEVER)
    sent = model.read[-1]
    assert sum(len(message.content) for message in sent) < 16_000
    assert sent[0] == messages[0]
    assert sent[1].content.startswith("the task")
    assert sent[-1] == messages[-1]
    assert sent[-3] == messages[-3]
    assert {type(note) for note in notes} == {Note}


def test_roles_still_take_turns_and_what_is_left_out_is_told():
    model = Small(context_tokens=3_000)
    Compacting(model, state=lambda: "x is 5").complete(conversation(60), **ASK)
    sent = model.read[-1]
    assert [message.role for message in sent[1:]] == ["user", "assistant"] * ((len(sent) - 1) // 2) + ["user"] * ((len(sent) - 1) % 2)
    assert "turns before these)\n- step 18\n" in sent[1].content
    assert "x is 5" in sent[1].content


def test_between_two_compactions_messages_only_grow():
    model = Small(context_tokens=6_000)
    fitting, messages = Compacting(model), conversation(1)
    for n in range(60):
        fitting.complete(messages, **ASK)
        messages = [*messages, Message("assistant", f"more {n}"), Message("user", f"seen {n} " + "y" * 500)]
    steps = list(zip(model.read, model.read[1:], strict=False))
    grown = [later[: len(earlier)] == earlier for earlier, later in steps]
    assert grown.count(False) < len(grown) / 8
    assert grown.count(False) >= 1


def test_a_call_and_its_answer_stay_together():
    model = Small(context_tokens=2_000)
    messages = [Message("system", "s"), Message("user", "task")]
    for n in range(30):
        calls = (Call(f"a{n}", "python", "{}"), Call(f"b{n}", "python", "{}"))
        messages += [Message("assistant", "", calls=calls), Message("user", "r" * 900, call_id=f"a{n}"), Message("user", "-", call_id=f"b{n}")]
    Compacting(model).complete(messages, **ASK)
    sent = model.read[-1]
    asked = [call.id for message in sent for call in message.calls]
    assert asked == [message.call_id for message in sent if message.call_id]
    assert "a29" in asked


def test_old_pictures_are_left_out_and_new_ones_are_not():
    model, picture = Small(context_tokens=20_000), Image("image/png", b"1")
    messages = [Message("system", "s"), Message("user", "task")]
    for n in range(30):
        messages += [Message("assistant", f"plot {n}"), Message("user", "[image]", (picture,))]
    Compacting(model).complete(messages, **ASK)
    assert model.read[-1][-1].images == (picture,)
    assert sum(len(message.images) for message in model.read[-1]) <= 2


def test_a_model_that_reads_next_to_nothing_says_so():
    with pytest.raises(ContextOverflow):
        Compacting(Small(most=10)).complete(conversation(3), **ASK)


def test_another_conversation_is_not_mixed_with_the_one_before():
    model = Small(context_tokens=4_000)
    fitting = Compacting(model)
    fitting.complete(conversation(40), **ASK)
    other = [Message("system", "others"), Message("user", "hello")]
    fitting.complete(other, **ASK)
    assert model.read[-1] == tuple(other)


def test_the_record_keeps_what_the_model_no_longer_reads():
    class Worker(Small):
        def complete(self, messages, **options):
            done = super().complete(messages, **options)
            n = len(self.read)
            return Completion(f"<execute>\nv{n} = {n}\nprint('z' * 1500, {n})\n</execute>" if n < 25 else "<solution>done</solution>", usage=done.usage)

    model, notes = Worker(context_tokens=4_000), []
    with Agent(model, budget=Budget(max_turns=None)) as agent:
        result = agent.run("count", observe=lambda event: isinstance(event, Note) and notes.append(event))
    assert result.answer == "done"
    assert notes
    assert all("z" * 1500 in turn.observation.text for turn in result.trajectory.turns[:-1])
    assert any("- v1: int, 1" in message.content for message in model.read[-1])
    assert all(sum(len(message.content) for message in sent) < 16_000 for sent in model.read)


@pytest.mark.parametrize("n_results", [4, 25])
def test_what_the_user_now_asks_stays_however_much_was_done_on_it(n_results):
    seen = []

    class Worker(Small):
        def complete(self, messages, **options):
            seen.append(messages)
            done = super().complete(messages, **options)
            if len(seen) in (1, n_results + 2):
                return Completion("<solution>done</solution>", usage=done.usage)
            return Completion(f"<execute>\nprint('z' * 3000, {len(seen)})\n</execute>", usage=done.usage)

    asked = "sort the birds by wingspan" + " and mind the units" * 40
    with Agent(Worker(context_tokens=6_000)) as agent:
        agent.run("first")
        agent.run(asked)
    assert any(asked in message.content for message in seen[-1])


def test_a_conversation_of_many_long_requests_fits():
    notes = []
    model = Small(context_tokens=8_000, reply="<solution>done</solution>")
    with Agent(model) as agent:
        for n in range(80):
            agent.run(f"request {n}: " + "words " * 400, observe=lambda event: isinstance(event, Note) and notes.append(event))
    sizes = [sum(len(message.content) for message in messages) for messages in model.read]
    assert max(sizes) <= 8_000 * 4
    assert len(notes) < 40  # not at each request
