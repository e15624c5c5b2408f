"""Run a student's code in another process and ask it for values and gradients.

Which process is whose parent
=============================

Started (a single run), in the tiers `process` and `bwrap`::

    grader ── supervisor ── worker ── what the submission starts
    grader ── supervisor ── bwrap ── bwrap (process 1 inside) ── worker ── what the submission starts

Forked (a class): a fork server has loaded torch, and forks supervisors, which fork workers::

    class ── runs (cli/grade/fork_server) ┬─ grader
                                          └─ fork server ── supervisor ── worker ── ...
    fork server ── supervisor ┬─ bwrap ── bwrap (process 1 inside) ── cat (holds the namespaces open)
                              └─ worker (has joined cat's namespaces) ── ...

In the tier `none` the worker is an object in the grader (`in_process`).

Which process ends which, with what
===================================

======================================  ================================================================================
a worker ends                           its supervisor kills everything below itself and ends with the worker's status
a call is late, floods, or is garbled   the grader closes the supervisor's standard input; the supervisor kills as above
too many processes, too much memory     the supervisor counts, notes the reason, and kills as above
a supervisor ends                       the kernel kills the worker or bwrap (PR_SET_PDEATHSIG, --die-with-parent); the
                                        rest become children of the grader or the fork server, and the grader kills
                                        them (`process_tree.kill_orphans`)
a supervisor is stopped, or too slow    after 1 s, or 10 s, the grader kills what is below it, then it (`signals`)
the grader ends                         the supervisor's standard input is closed, or the grader's process descriptor
                                        becomes readable: it kills as above
the fork server ends                    nothing: its supervisors belong to graders that go on
bwrap's process 1 ends                  the kernel kills everything in that namespace of processes
======================================  ================================================================================

"Kills" is SIGKILL through a process descriptor, after a check that the process descends from the one that kills. It is
repeated until /proc shows nothing below. Where a worker has a control group (`worker.control_group`), the supervisor,
or the grader in its place, writes that group's `cgroup.kill` after that. The functions that signal are in `signals`
(grader) and `worker.process_tree`.

What keeps a submission from doing the same to the grader
=========================================================

`worker.privileges` leaves uid 0 where it can, drops capabilities, enters a Landlock domain and installs a filter of
system calls in every worker; `grader_process` closes the grader's memory. Their own system calls have these reasons:
Python has no prctl, capset, setns (before 3.12), seccomp or landlock; bubblewrap's options would not reach the tier
`process` or a forked worker; and libseccomp is not on every machine. Namespaces, mounts and their setup are
bubblewrap's.
"""
