# SPDX-License-Identifier: MIT
"""What refuses a policy, a nice value, CPUs? The kernel's checks of one task, in the order in which it makes them.

Source: kernel/sched/syscalls.c (__sched_setscheduler, user_check_sched_setscheduler, sched_setaffinity),
kernel/sys.c (setpriority), security/commoncap.c (cap_safe_nice), fs/proc/base.c (timerslack_ns_write).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rtnb.caps import Reason
from rtnb.caps.kconfig import built
from rtnb.caps.rt import NICE_CAPABILITY, above_rtprio, foreign_namespace, no_budget, not_for_deadline, unified_group
from rtnb.sched.admission import deadline
from rtnb.sched.admission.facts import Facts, Refusal, setting, upwards
from rtnb.sched.spec import REAL_TIME, Spec, as_list
from rtnb.sched.task import attributes

__all__ = ["affinity", "nice", "policy", "slack"]

_PF_NO_SETAFFINITY = 0x04000000
_HIGHEST = 99


def policy(spec: Spec, facts: Facts) -> Refusal | None:
    """sched_setattr(2): the numbers first, then who asks, then what the system has left."""
    checks = (_number, _permission, _stopper, _budget, _reservation)
    answers = (check(spec, facts) for check in checks)
    return next((answer for answer in answers if answer), None)


def _number(spec: Spec, facts: Facts) -> Refusal | None:
    if spec.policy == "ext" and not Path("/sys/kernel/sched_ext").exists():
        return Refusal("EINVAL", "this kernel has no SCHED_EXT (CONFIG_SCHED_CLASS_EXT)")
    if spec.policy in REAL_TIME and not 1 <= spec.priority <= _HIGHEST:
        why = f"priority {spec.priority} is not within 1 (lowest) to {_HIGHEST}"
        return Refusal("EINVAL", why, "a priority of 0 is that of the other policies" if not spec.priority else "")
    return deadline.out_of_range(spec) if spec.policy == "deadline" else None


def _permission(spec: Spec, facts: Facts) -> Refusal | None:
    """One of these needs CAP_SYS_NICE; the kernel asks for it once."""
    if facts.caller.capable:
        return None
    refusal = next(_privileged(spec, facts), None)
    if refusal and facts.caller.held and (inside := foreign_namespace()):
        return Refusal("EPERM", f"{refusal.why}: {inside.why}", inside.remedy)
    return refusal or _higher(facts)


def _privileged(spec: Spec, facts: Facts) -> Iterator[Refusal]:
    task, now = facts.task, facts.task.state
    wanted = attributes(spec, now.nice).nice
    if spec.policy in ("other", "batch", "ext") and min(max(wanted, -20), 19) < min(now.nice, task.lowest_nice):
        yield _above_nice(wanted, facts)
    if spec.policy in REAL_TIME and (
        (spec.policy != now.policy and not task.rtprio)
        or (spec.priority > now.attr.priority and spec.priority > task.rtprio)
    ):
        yield Refusal("EPERM", *_told(above_rtprio(task.rtprio)))
    if spec.policy == "deadline":
        yield Refusal("EPERM", *_told(not_for_deadline()))
    if now.policy == "idle" != spec.policy and now.nice < task.lowest_nice:
        limits = f"an RLIMIT_NICE of {20 - now.nice}, and it is {task.nice_limit}"
        why = f"without CAP_SYS_NICE, to leave SCHED_IDLE at nice {now.nice} takes {limits}"
        yield Refusal("EPERM", why, NICE_CAPABILITY)
    if _foreign(facts):
        yield Refusal("EPERM", *_foreign_words(facts))
    if now.spec().reset_on_fork and not spec.reset_on_fork:
        yield Refusal("EPERM", "without CAP_SYS_NICE reset_on_fork, once set, stays set", "reset_on_fork=True")


def _told(reason: Reason) -> tuple[str, str]:
    return reason.why, reason.remedy


def _above_nice(wanted: int, facts: Facts, number: str = "EPERM") -> Refusal:
    task = facts.task
    least = min(task.state.nice, task.lowest_nice)
    why = f"without CAP_SYS_NICE nice {wanted} is below the least, {least} (RLIMIT_NICE is {task.nice_limit})"
    return Refusal(number, why, NICE_CAPABILITY)


def _foreign(facts: Facts) -> bool:
    """Is it another user's? The caller's effective user must be the task's real or effective one."""
    return facts.caller.euid not in facts.task.uids


def _foreign_words(facts: Facts) -> tuple[str, str]:
    users = " and ".join(map(str, sorted(facts.task.uids)))
    return f"the task is user {users}'s, and the caller is user {facts.caller.euid}", NICE_CAPABILITY


def _higher(facts: Facts) -> Refusal | None:
    """A task with capabilities that the caller lacks is out of its reach, also of the same user."""
    more = facts.task.permitted - facts.caller.permitted
    if not more or facts.caller.over(facts.task):
        return None
    some = ", ".join(sorted(more)[:3]) + (", ..." if len(more) > 3 else "")
    return Refusal("EPERM", f"the task has capabilities that the caller lacks ({some})", NICE_CAPABILITY)


def _stopper(spec: Spec, facts: Facts) -> Refusal | None:
    if facts.task.stat.flags & _PF_NO_SETAFFINITY and facts.task.stat.comm.startswith(b"migration/"):
        return Refusal("EINVAL", "it is the thread with which the kernel stops a CPU, and stays as it is")
    return None


def _budget(spec: Spec, facts: Facts) -> Refusal | None:
    """With RT_GROUP_SCHED, the task's group must have time for real-time tasks."""
    now = facts.task.state
    if spec.policy not in REAL_TIME or setting("sched_rt_runtime_us") < 0:
        return None
    if (spec.policy, spec.priority) == (now.policy, now.attr.priority):  # where nothing changes, nobody looks
        return None
    if reason := no_budget(now.tid):
        return Refusal("EPERM", *_told(reason))
    folder = unified_group(now.tid)
    if not any((above / "cpu.max").exists() for above in upwards(folder)) or (built := _rt_groups()) is False:
        return None
    why = f"with RT_GROUP_SCHED a group of version 2 has no real-time budget, and the task is in {folder}"
    remedy = "move the task to the root group, or boot with rt_group_sched=0"
    return Refusal("EPERM", why, remedy) if built else Refusal("", f"{why}; no file says whether it is built in")


def _rt_groups() -> bool | None:
    """Has this kernel RT_GROUP_SCHED? None where no file says so."""
    words = Path("/proc/cmdline").read_text(encoding="utf-8", errors="replace").split()
    if "rt_group_sched=0" in words:
        return False
    default = "n" if "rt_group_sched=1" in words else built("RT_GROUP_SCHED_DEFAULT_DISABLED")
    found = built("RT_GROUP_SCHED")
    return None if found is None else found == "y" and default != "y"


def _reservation(spec: Spec, facts: Facts) -> Refusal | None:
    return deadline.unfit(facts) or deadline.full(spec, facts) if spec.policy == "deadline" else None


def affinity(spec: Spec, facts: Facts) -> Refusal | None:
    """sched_setaffinity(2)."""
    if facts.task.stat.flags & _PF_NO_SETAFFINITY:
        return Refusal("EINVAL", "it is a thread of the kernel's own that is bound to its CPUs")
    if _foreign(facts) and not facts.caller.over(facts.task):
        return Refusal("EPERM", *_foreign_words(facts))
    if refusal := _higher(facts):
        return refusal
    wanted = (spec.cpus or frozenset()) & facts.cpus
    if facts.task.state.policy == "deadline" and setting("sched_rt_runtime_us") >= 0:
        found = deadline.unfit(facts.after("sched_setaffinity", spec))
        if found:
            why = f"the task is under SCHED_DEADLINE, and {found.why}"
            return Refusal("EBUSY" if found.errno else "", why, "leave the CPUs out, or the policy first")
    if not wanted:
        why = f"none of CPU {as_list(spec.cpus or ()) or '(none)'} is online and in the task's cpuset"
        return Refusal("EINVAL", why, f"some of CPU {as_list(facts.cpus)}")
    return None


def nice(spec: Spec, facts: Facts) -> Refusal | None:
    """setpriority(2), by which a task gets a nice value that its policy does not heed."""
    if _foreign(facts) and not facts.caller.over(facts.task):
        return Refusal("EPERM", *_foreign_words(facts))
    task, wanted = facts.task, min(max(spec.nice or 0, -20), 19)
    if wanted < min(task.state.nice, task.lowest_nice) and not facts.caller.capable:
        return _above_nice(wanted, facts, "EACCES")
    return _higher(facts)


def slack(spec: Spec, facts: Facts) -> Refusal | None:
    """/proc/PID/timerslack_ns, which is everyone's own."""
    if facts.task.state.tid == facts.caller.tid or facts.caller.over(facts.task):
        return None
    return Refusal("EPERM", "without CAP_SYS_NICE a thread sets its own timer slack only", NICE_CAPABILITY)
