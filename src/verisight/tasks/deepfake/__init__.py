"""Is this face forged?"""
