"""What every slice is made of: declarations of members, types that several resources have, the order of siblings,
limits, unions, suggestions to clients.
"""
