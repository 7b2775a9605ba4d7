"""Known answers on the user's own device, dtype and precision: does this machine compute what the mathematics says?"""
