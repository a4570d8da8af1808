"""PASCAL VOC 2012's 20 classes of objects and their ground, a class for every pixel (Everingham et
al., 2015).
"""

from mim.data.label_maps import LabelMaps


class Voc(LabelMaps):
    """Pictures that its lists name and label maps as they are published: palettes, borders of
    objects ignored.
    """
