"""ADE20K's 150 classes of pixels (ADEChallengeData2016; Zhou et al., CVPR 2017)."""

from mim.data.label_maps import LabelMaps


class Ade20k(LabelMaps):
    """Pictures and label maps as they are published, whose value 0 is anything else and counts
    nowhere.
    """
