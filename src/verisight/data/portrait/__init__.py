"""How a synthetic face is drawn: a height field lit by one lamp, painted from the back to the front.

Everything is laid out in units of half a face's width: x to the right, y down, z towards the camera, the origin between
the eyes. `person.shape` places 68 points on an ellipsoid, `view.View` turns and projects them, `paint.paint` draws. No
picture of a person was used; nobody is shown.
"""
