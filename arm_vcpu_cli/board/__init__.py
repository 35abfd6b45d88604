"""What a machine is: the schema of machine files, the description they give, the device tree, what lies where.

What does not belong here: anything that runs. A description is data; `vm` makes a machine of it.
"""
