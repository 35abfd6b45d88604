"""Why a pending interrupt does not reach its PE: the gates on its way, read from the registers alone.

Nothing here looks into a model: what a guest can read is enough, and what is named is what a guest can write. No
register is read whose read has an effect.

What does not belong here: the state of timers and PSTATE, which are on either side of the controller, and words.
"""
