import math

import pytest
import torch

from danil.explanation import evidence_scores
from danil.objectives import ResponseMaps


def maps_of(truth, rival, classes=3):
    truth, rival = torch.tensor(truth)[:, None], torch.tensor(rival)[:, None]
    batch = len(truth)
    return ResponseMaps(truth, rival, truth - rival, torch.zeros(batch, dtype=torch.long), torch.zeros(batch, classes))


TRUTH = [[[3.0, -1.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]]
RIVAL = [[[1.0, 0.0], [0.0, -7.0]], [[1.0, 1.0], [1.0, 1.0]]]
EVIDENCE = torch.tensor([[[True, False], [False, False]], [[True, True], [False, False]]])
DISTRACTORS = torch.tensor([[[False, False], [True, True]], [[False, False], [False, False]]])


def test_shares_are_magnitude_inside_over_magnitude_everywhere():
    scores = evidence_scores(maps_of(TRUTH, RIVAL), EVIDENCE, DISTRACTORS)
    first = scores.iloc[0]
    assert first["truth_in_evidence"] == 3 / 4
    assert first["truth_in_distractors"] == 0
    assert first["rival_in_distractors"] == 7 / 8
    assert first["rival_in_evidence"] == 1 / 8
    assert first["pointing"] == 1
    assert first["evidence_area"] == 1 / 4
    assert first["distractor_area"] == 1 / 2


def test_a_score_is_missing_without_a_map_or_without_a_mask():
    second = evidence_scores(maps_of(TRUTH, RIVAL), EVIDENCE, DISTRACTORS).iloc[1]
    assert math.isnan(second["truth_in_evidence"])
    assert math.isnan(second["pointing"])
    assert math.isnan(second["rival_in_distractors"])
    assert second["rival_in_evidence"] == 0.5


def test_channels_add_their_magnitudes():
    truth = torch.tensor([[[[2.0, 0.0]], [[-2.0, 1.0]], [[0.0, 0.0]]]])
    maps = ResponseMaps(truth, truth, truth, torch.tensor([1]), torch.zeros(1, 3))
    scores = evidence_scores(maps, torch.tensor([[[True, False]]]), torch.tensor([[[False, True]]]))
    assert scores["truth_in_evidence"][0] == 4 / 5


def test_pointing_widens_the_mask_by_its_tolerance():
    truth = [[[0.0, 0.0, 0.0, 1.0]]]
    mask = torch.tensor([[[False, True, False, False]]])
    hits = [evidence_scores(maps_of(truth, truth), mask, mask, tolerance=pixels)["pointing"][0] for pixels in (0, 1, 2)]
    assert hits == [0, 0, 1]


def test_two_classes_are_refused_because_both_maps_are_one():
    with pytest.raises(ValueError, match="with 2 classes; evidence scores need at least 3"):
        evidence_scores(maps_of(TRUTH, RIVAL, classes=2), EVIDENCE, DISTRACTORS)


@pytest.mark.parametrize("mask", [EVIDENCE[:1], EVIDENCE.float()])
def test_masks_must_be_boolean_and_fit(mask):
    with pytest.raises(ValueError, match=r"`distractors` is .*boolean \(2, 2, 2\) is needed"):
        evidence_scores(maps_of(TRUTH, RIVAL), EVIDENCE, mask)
