"""An installation with a mirror of an algorithm: the jobs of everybody who uses its token."""

from support.mirrored import IMAGE, Mirrored, _digest
from support.sandbox_user import SandboxUser

ALGORITHM = "copy-image"


class MirroredJobs(Mirrored):
    """A mirror of the jobs of an algorithm that copies an image and says what it did."""

    def __init__(self, folder, sandbox, *, routes="", **mirror):
        keys = {"archive": None, "algorithm": ALGORITHM, **mirror}
        super().__init__(folder, sandbox, routes=routes, **keys)

    def add(self, title, values=None, /, **more):
        """Start a job with an image, if one is given; the title is the upload's name."""
        given = {**(values or {}), **more}.get(IMAGE)
        if given is None:
            return None
        content = given[1] if isinstance(given, tuple) else given
        with SandboxUser(self.sandbox) as user:
            upload = user.upload(content, f"{title}.mha")
            pk = user.start(ALGORITHM, generic_medical_image={"user_uploads": [upload]})
            assert user.job(pk)["status"] == "Succeeded"
        return pk

    def values(self):
        """What the jobs gave: by job and value pk, what the value is and its SHA-256."""
        return {
            pk: {each.pk: (each.socket.slug, _digest(each)) for each in job.outputs}
            for pk, job in self.sandbox.platform_state.jobs.items()
            if job.algorithm.slug == ALGORITHM
        }
