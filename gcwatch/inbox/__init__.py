"""The inbox: which cases its folders and files are, what changed, and clearing it after delivery.

Nothing about the platform or about results may come in, and nothing that decides when to scan.
"""
