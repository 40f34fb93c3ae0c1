"""Long work beside the pages: in a thread or a process, behind one interface, `parts.jobs.job.Job`.

What the work does lies in lower rooms.
"""
