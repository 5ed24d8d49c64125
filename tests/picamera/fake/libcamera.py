"""Plays libcamera's Python binding, as far as our code uses it besides picamera2."""


class Transform:
    def __init__(self, hflip=0, vflip=0):
        self.hflip, self.vflip = hflip, vflip


class controls:  # noqa: N801  # libcamera's module
    class AfModeEnum:
        Manual, Auto, Continuous = range(3)
