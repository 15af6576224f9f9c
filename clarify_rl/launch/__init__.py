"""Where a run happens besides this process: several learners of one run (`learners`), or a job on a cluster (`job`)."""

from clarify_rl.launch.job import SubmittedJob, follow, submit

__all__ = ["SubmittedJob", "follow", "submit"]
