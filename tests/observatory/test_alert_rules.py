"""Rule files: what they mean, and what is said of a mistake, with its place."""

from __future__ import annotations

from datetime import timedelta

import pytest

from observatory.alerts import templates
from observatory.alerts.rule_file import RuleFileError, read_rules
from observatory.alerts.templates import TemplateError

PUBLISHED = """
- alert: HalphaDegraded
  instrument: kso-halpha
  when: {quality: {lt: 0.4}}
  for_frames: 3
  clear_frames: 5
  labels: {severity: warning}
  annotations: {summary: "{instrument}: {cause} for {frames} frames", runbook_url: "https://x/y"}
  notify: [ops-mail, webhook]
"""


def problems(text: str, **more: object) -> list[str]:
    with pytest.raises(RuleFileError) as caught:
        read_rules(text, "r.yaml", **more)  # type: ignore[arg-type]
    return str(caught.value).splitlines()


def test_the_published_example_is_a_rule():
    (rule,) = read_rules(PUBLISHED).rules
    assert (rule.name, rule.instrument, rule.for_frames, rule.clear_frames) == (
        "HalphaDegraded",
        "kso-halpha",
        3,
        5,
    )
    assert rule.notify == ("ops-mail", "webhook")
    assert rule.means("kso-halpha") and not rule.means("gong-halpha")


def test_every_condition_can_be_written():
    text = """
- alert: Everything
  instrument: aia-*
  when:
    any:
      - {quality: {between: [0.1, 0.3]}, is_degraded: true}
      - {p_value: {lt: 0.01}}
      - {cause: [cloud, thin_cloud]}
      - {cause: {one_of: [dust], probability: {gt: 0.7}}}
      - {sky_class: cloud}
      - {sky_class: aurora, cloud_cover: {lt: 0.2}, aurora_probability: {gte: 0.9}}
      - {disturbance_nt: {gt: 300}}
      - {change: {of: cloud_cover, over: 10m, by: {gt: 0.5}}}
      - {status: [rejected, failed]}
      - {region: {event_type: CH, area_msh: {gt: 20000}, disk_fraction: {gt: 0.05}}}
      - {enhancement: {outcome: refused}}
      - {enhancement: {trusted_fraction: {lt: 0.5}}}
      - {latency_s: {gt: 30}}
      - {latency: {gt: 30s, lt: 1h}}
      - {change: {of: quality, over: 10m, by: {lt: -0.3}}}
      - {change: {of: area_msh, event_type: AR, over: 1h, by: {gt: 0.5}, relative: true}}
      - {gap: {gt: 5m}}
      - {gap: true}
      - {onset: true}
      - {onset: {within: 1h}}
      - {drift: {gt: 0.3}}
      - {silent_for: 1h30m}
      - {frozen: {repeats: 3}}
      - {rate: {over: 5m, of_cadence: {gt: 5}}}
      - {rate: {over: 5m, frames: {lt: 10}}}
      - not: {all: [{quality: {gte: 0.9}}]}
  clear_when: {quality: {gt: 0.8}}
  for: 90s
  clear_for: 2m
  repeat: 4h
  group_by: [alertname, site]
  group_wait: 30s
"""
    (rule,) = read_rules(text).rules
    assert (rule.for_, rule.clear_for, rule.repeat) == (
        timedelta(seconds=90),
        timedelta(minutes=2),
        timedelta(hours=4),
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "- alert: A\n  when: {qualty: {lt: 0.4}}\n",
            "r.yaml: line 2, column 10: A.when: 'qualty' is no field here; did you mean 'quality'?",
        ),
        ("- alert: A\n  when: {quality: {lt: 0.4}\n", "line 3, column 1: while parsing a flow mapping"),
        ("- alert: A\n\twhen: x\n", "line 2, column 1: while scanning for the next token"),
        ("- alert: A\n  when: {gap: true}\n  fro: 3s\n", "line 3, column 3: A: 'fro' is no field here"),
        ("- alert: A\n  when: {gap: true}\n  for: 60\n", "line 3, column 8: A.for: a span of time is wanted"),
        ("- alert: A\n  when: {drift: true}\n", "line 2, column 17: A.when.drift: a mapping is wanted"),
        ("- alert: A\n  when: {drift: {}}\n", "A.when.drift: a limit is wanted"),
        ("- alert: A\n  when: {drift: {gt: 30}}\n", "30 does not lie between 0 and 1"),
        ("- alert: A\n  when: {drift: {over: 0.3}}\n", "'over' is no field here"),
        ("- alert: A\n  when: {drift: {gt: 0.3}}\n  for_frames: 3\n", "use for: 60s"),
        ("- alert: A\n  when: {gap: {gt: 5}}\n", "line 2, column 20: A.when.gap.gt: a span of time"),
        ("- alert: A\n  when: {gap: true}\n  for_frames: 3\n", "use for: 60s"),
        ("- alert: A\n  when: {quality: {lt: 40}}\n", "40 does not lie between 0 and 1"),
        ("- alert: A\n  when: {quality: {lt: .nan}}\n", "a number is wanted"),
        ("- alert: A\n  when: {quality: {lt: 0.2, gt: 0.4}}\n", "nothing is both above 0.4 and below 0.2"),
        ("- alert: A\n  when: {quality: {}}\n", "a limit is wanted"),
        ("- alert: A\n  when: {}\n", "at least one condition is wanted"),
        ("- alert: A\n  when: {cause: clouds}\n", "'clouds' is not known; did you mean 'cloud'?"),
        ("- alert: A\n  when: {region: {area_msh: {gt: 3}}}\n", "event_type is wanted"),
        ("- alert: A\n  when: {gap: true}\n  per: cause\n", "`when` has no condition on cause"),
        (
            "- alert: A\n  when: {gap: true}\n  when: {gap: true}\n",
            "line 3, column 3: A: 'when' stands here twice",
        ),
        (
            "- alert: A\n  when: {gap: true}\n- alert: A\n  when: {gap: true}\n",
            "line 3, column 3: A: 'A' is the",
        ),
        ("- when: {gap: true}\n", "line 1, column 3: [0]: alert is wanted"),
        ("- alert: a b\n  when: {gap: true}\n", "a name of letters"),
        ("- alert: A\n  when: {gap: true}\n  labels: {alertname: x}\n", "alertname is set by itself"),
        ("- alert: A\n  when: {gap: true}\n  instrument: [a]\n", "an instrument's name is wanted"),
        ("alert: A\n", "line 1, column 1: a list of rules is wanted"),
        ("just words", "a list of rules is wanted"),
        (
            "- alert: A\n  when: {gap: true}\n  inhibited_by: B\n",
            "line 3, column 17: A.inhibited_by: there is no",
        ),
        ("- &a [*a]\n", "repeats itself too often"),
        ("- \x07\n", "line 1, column 3: a character that may not stand here"),
        ("- alert: A\n  when: {rate: {frames: {gt: 1}}}\n", "over is wanted"),
        ("- alert: A\n  when: {change: {of: quality}}\n", "over and by wanted"),
        ("- alert: A\n  when: {gap: true}\n  escalate: [{after: 2m}]\n", "one of notify and like"),
        (
            "- alert: A\n  when: {gap: true}\n  escalate: [{after: 2m, notify: x}, {after: 1m, notify: y}]\n",
            "each step comes after the one before it",
        ),
        ("- alert: A\n  when: " + "{not: " * 40 + "{gap: true}" + "}" * 40, "is nested deeper than"),
    ],
)
def test_a_mistake_is_told_with_its_place_and_what_to_write(text: str, said: str):
    assert said in "\n".join(problems(text))


def test_all_mistakes_of_a_file_are_told_at_once():
    text = "- alert: A\n  when: {qualty: {lt: 1}}\n  for: x\n- alert: B\n  wen: {gap: true}\n"
    assert [line.split(":")[1] for line in problems(text)] == [
        " line 2, column 10",
        " line 3, column 8",
        " line 4, column 3",
        " line 5, column 3",
    ]


def test_inhibition_and_escalation_go_in_no_circle():
    rule = "- alert: {0}\n  when: {{gap: true}}\n  {2}: {1}\n"
    ring = [("A", "B"), ("B", "C"), ("C", "A")]
    inhibited = "".join(rule.format(one, other, "inhibited_by") for one, other in ring)
    assert problems(inhibited) == [
        "r.yaml: line 1, column 3: A: inhibited_by goes in a circle: A -> B -> C -> A"
    ]
    escalated = "".join(
        rule.format(one, f"[{{after: 1m, like: {other}}}]", "escalate") for one, other in ring
    )
    assert problems(escalated) == ["r.yaml: line 1, column 3: A: escalate goes in a circle: A -> B -> C -> A"]
    alone = "- alert: A\n  when: {gap: true}\n  inhibited_by: A\n"
    assert "A -> A" in problems(alone)[0]


def test_an_escalation_like_another_rules_takes_its_channels_and_steps():
    text = """
- alert: A
  when: {gap: true}
  escalate: [{after: 10m, like: B, unless: never}]
- alert: B
  when: {gap: true}
  notify: phone
  escalate: [{after: 5m, notify: [boss]}]
"""
    steps = read_rules(text).rules[0].escalations
    assert [(step.after, step.notify, step.unless) for step in steps] == [
        (timedelta(minutes=10), ("phone",), None),
        (timedelta(minutes=15), ("boss",), "acknowledged"),
    ]


def test_a_channel_that_is_not_configured_is_told():
    said = problems(PUBLISHED, channels=["ops-mail", "web-hook"])
    assert said == [
        "r.yaml: line 9, column 22: HalphaDegraded.notify[1]: 'webhook' is not known; did you mean 'web-hook'?"
    ]


@pytest.mark.parametrize(
    "text",
    ["{causes}", "{instrument.__class__}", "{0}", "{}", "{instrument!r}", "{cause:>99999999d}", "{", "a}"],
)
def test_a_text_with_an_unknown_name_is_refused(text: str):
    with pytest.raises(TemplateError):
        templates.check(text)
    rule = f"- alert: A\n  when: {{gap: true}}\n  annotations:\n    summary: '{text}'\n"
    assert problems(rule)[0].startswith("r.yaml: line 4, column 14: A.annotations.summary: ")


def test_a_name_without_a_value_is_written_as_unknown_and_braces_as_themselves():
    assert templates.render("{cause}: {quality:.2f} {{x}}", {"quality": 0.1234}) == "unknown: 0.12 {x}"
