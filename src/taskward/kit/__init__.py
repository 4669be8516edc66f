"""What every slice is made of: the fields that several resources have, the order of siblings, limits."""
