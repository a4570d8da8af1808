"""Papers as data: one yaml each, with what its authors print, where it stands, and the command that
makes the number here.
"""
