"""Privacy: a camera is opened only for a use that was stated, and of which the people in front of it are told.

Why this asks. The European Union's AI Act (Regulation 2024/1689) forbids systems that infer emotions of people at work
and in education, but for medical or safety reasons (Article 5(1)(f)), and demands elsewhere that the people who are
exposed to such a system are told (Article 50(3)). Other laws may ask for more; this is no legal advice.
"""

from edge import config
from edge.errors import SettingsError
from edge.sources import is_camera

UNTOLD = ("home", "testing")
"""Where nobody else is in front of the camera, or all have agreed: no notice is demanded."""

FORBIDDEN = ("workplace", "education")
"""Where reading expressions is forbidden, but for medical or safety reasons."""


def refuse_unstated(settings: config.Settings) -> None:
    """SettingsError unless the use of the camera was stated, and is not one that is forbidden.

    Files and the demo are free: what they show has happened.
    """
    said = settings.privacy
    if not is_camera(settings.camera.source):
        return
    if not said.context:
        raise SettingsError(
            f"camera {settings.camera.source}: [privacy] context is not stated: say what it is for, "
            f"`--context testing` to try it on yourself, or one of {', '.join(config.CONTEXTS)}"
        )
    if said.context in FORBIDDEN and not said.medical_or_safety:
        raise SettingsError(
            f"[privacy] context = {said.context!r}: reading expressions there is forbidden in the European Union "
            "but for medical or safety reasons (AI Act, Article 5): expected medical_or_safety = true, if it is so"
        )
    if said.context not in UNTOLD and not said.notice_shown:
        raise SettingsError(
            f"[privacy] context = {said.context!r}: the people in front of the camera must be told: "
            "print `emotion-edge notice`, put it up, then set notice_shown = true"
        )
