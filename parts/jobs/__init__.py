"""Long work beside the pages: in a thread or a process, with progress and a way to stop it.

What the work does lies in lower rooms.
"""
