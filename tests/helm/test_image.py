"""The chart and the image are of one mind: user, folders, command and port."""

import re

import pytest

from tests.helm.chart import ROOT, VALUE_SETS, Helm, manifests, of_kind
from tests.helm.containers import WORKING_DIRECTORY

pytestmark = pytest.mark.timeout(900)


def test_the_image_is_what_the_chart_takes_it_for(helm: Helm) -> None:
    minimal = next(path for path in VALUE_SETS if path.stem == "minimal")
    spec = of_kind(manifests(helm.render(minimal)), "Deployment")["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    told = dict(
        re.findall(r"^(USER|WORKDIR|ENTRYPOINT|CMD|EXPOSE) (.+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    )
    user = spec["securityContext"]
    assert told == {
        "USER": f"{user['runAsUser']}:{user['runAsGroup']}",
        "WORKDIR": WORKING_DIRECTORY,
        "ENTRYPOINT": f'["{container["command"][0]}"]',
        "CMD": f'["{container["args"][0]}"]',
        "EXPOSE": str(container["ports"][0]["containerPort"]),
    }
