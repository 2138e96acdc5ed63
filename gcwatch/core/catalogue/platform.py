"""What the platform answers, or does not answer."""

from collections.abc import Mapping
from typing import Final

from gcwatch.core.catalogue.entry import ReasonEntry

PLATFORM_REASONS: Final[Mapping[str, ReasonEntry]] = {
    "import_failed": ReasonEntry(
        "The platform could not read the images.",
        "The upload session ended as Failed: {message}",
        advice="Open the images in a viewer, and export them again. If that does not help, ask IT.",
    ),
    "item_import_failed": ReasonEntry(
        "The platform could not read the images. The platform shows an incomplete case.",
        "The upload session ended as Failed: {message} The {product} stays, without its images: "
        "{url}",
        advice="Open the images in a viewer, and export them again. If that does not help, ask IT.",
        hint="gcwatch retry fills the same {product}. To remove it, delete it on the platform.",
    ),
    "job_failed": ReasonEntry(
        "The analysis did not work for this patient.",
        "The job ended as {status}; the platform's API gives no reason. Job: {url}",
        hint="Open the job's page, or ask the algorithm's editors.",
    ),
    "no_outputs": ReasonEntry(
        "The analysis ended well, but without any result.",
        "The job succeeded without any output. Job: {url}",
        advice="Do not take this for an examination without findings. Tell IT.",
        hint="Open the job's page, and ask the algorithm's editors.",
    ),
    "empty_outputs": ReasonEntry(
        "The analysis ended well, but a part of its result is empty.",
        "The job succeeded, but {count} of its outputs {count:holds|hold} nothing: {sockets}.",
        advice="Do not take this for an examination without findings. Tell IT.",
        hint="Open the job's page, and ask the algorithm's editors.",
    ),
    "job_lost": ReasonEntry(
        "It is not certain whether this patient's analysis was started; somebody has to look.",
        "The job was submitted but can't be found ({problem}).",
        hint="Look for it on the algorithm's page before you decide on gcwatch retry.",
    ),
    "job_stalled": ReasonEntry(
        "The analysis takes much longer than it should; gcwatch still watches it.",
        "The job has been {status} for {hours} {hours:hour|hours}. Job: {url}",
        hint="Ask the algorithm's editors or the platform's support.",
        needs_person=True,
    ),
    "import_stalled": ReasonEntry(
        "The platform takes much longer than it should to read the images; gcwatch still watches.",
        "The import has not ended for {hours} {hours:hour|hours}; the platform gives no reason. "
        "Case: {url}",
        hint="Look at the case on the platform; ask the platform's support.",
        needs_person=True,
    ),
    "importing": ReasonEntry(
        "The platform is still reading the images.",
        "The upload session is {status}; gcwatch looks for its job.",
    ),
    "in_doubt": ReasonEntry(
        "gcwatch makes sure that nothing is sent twice.",
        "A reply was lost; the platform gets {seconds} s to finish before gcwatch asks again.",
    ),
    "token_refused": ReasonEntry(
        "All work is paused: the platform does not accept this computer's token.",
        "The platform answers 401, or the token can't be read; gcwatch tries again by itself.",
        hint="Make a new token on the platform and write it into the token file: gcwatch check.",
    ),
    "not_found": ReasonEntry(
        "The place on the platform that this folder goes to can't be used at the moment.",
        "{what} {slug} does not exist, or this token has no access to it.",
        hint="Check the slug, and ask the editors for access.",
        needs_person=True,
    ),
    "no_rights": ReasonEntry(
        "Waiting: this computer may not use the place on the platform that this folder goes to.",
        "The token sees {what} {slug}, but may not {right}.",
        hint="Ask its editors to give the token's user this role: {role}.",
        needs_person=True,
    ),
    "title_taken": ReasonEntry(
        "The title for this folder is already used by somebody else.",
        "There is another case with the title {title} in {what} {slug}.",
        advice="Give the folder another name.",
        hint="Or put {{id}} into the route's title.",
    ),
    "title_shortened": ReasonEntry(
        "The folder's name is too long for a title; on the platform this folder is called {short}.",
        "The title is shortened to {short}: it has at most {title} characters, and a folder's name "
        "in it {folder}.",
        advice="Look for {short} on the platform.",
        hint="Nothing has to be done. Shorter names of folders, or a route's title without "
        "{{folder}}, give whole titles.",
    ),
    "title_unclear": ReasonEntry(
        "The platform gives contradictory answers about this folder.",
        "The title is taken in {what} {slug}, but is not in its list.",
        patience=8,
    ),
    "not_editable": ReasonEntry(
        "The case can't be changed any more: readers have answered it already.",
        "A display set of {what} {slug} with answers can't be changed.",
        hint="Remove the answers on the platform, or drop the folder again as a new case.",
    ),
    "socket_not_allowed": ReasonEntry(
        "The archive does not take this kind of content.",
        "{what} {slug}: {message}",
        hint="Correct the inputs (in the route, or --input), or ask the archive's editors.",
    ),
    "item_lost": ReasonEntry(
        "The case was removed on the platform, or this computer may not see it any more.",
        "What was made in {what} {slug} is not there any more.",
        hint="Ask its editors. If it is back, gcwatch retry fills it again.",
    ),
    "other_object": ReasonEntry(
        "The platform gave an answer that belongs to something else; somebody has to look.",
        "Asked for {wanted}, the platform answered with {found} ({what}). Nothing was published.",
        hint="A cache or proxy may mix answers up. Compare the job or case with the platform's "
        "page, and ask the platform's support before gcwatch retry.",
        patience=3,
    ),
    "leftovers": ReasonEntry(
        "The platform could not read all files of an image: the image may be incomplete.",
        "Socket {socket}: {message}",
        advice="Compare the image on the platform with the original.",
    ),
    "other_image": ReasonEntry(
        "The platform made another image than the one that was sent.",
        "Socket {socket}: the platform made another image than was sent: {found} instead of "
        "{expected}.",
        advice="Use neither this image nor its results. Export the images again; if that does not "
        "help, ask IT.",
        hint="The image is on the platform all the same: remove it there. Compare it with the "
        "original, or send it in another format; ask the platform's support why it differs.",
    ),
    "upload_budget": ReasonEntry(
        "Waiting for its turn: it needs {count} uploads, and {taken} of {limit} are in use.",
        "Other large image sets are being sent; an account may hold {limit} uploads at a time.",
    ),
    "set_too_large": ReasonEntry(
        "This image set has more files than the platform takes.",
        "{count} files; an account may hold {limit} uploads at a time.",
        hint="Send it as an image (a socket of kind Image), which needs one upload.",
    ),
    "refused": ReasonEntry(
        "The platform does not accept this folder.",
        "{call} was answered {status}: {message}",
        hint="Run gcwatch check; ask the platform's support if it finds nothing.",
    ),
    "unexpected": ReasonEntry(
        "Something unexpected happened with this folder.",
        "{call} was answered {status}: {message}",
        patience=5,
    ),
    "too_many_jobs": ReasonEntry(
        "Waiting: the platform allows {limit} jobs at a time.",
        "As many jobs of this user as the platform allows ({limit}) are running.",
    ),
    "too_many_uploads": ReasonEntry(
        "Waiting for its turn: too many uploads were made today.",
        "The platform keeps at most 2000 uploads of a user, and removes each within a day.",
        needs_person=True,
    ),
    "uploads_lost": ReasonEntry(
        "Waiting: the platform lost what was sent, so it is sent again.",
        "The storage or the platform no longer has the uploads, although they are not a day old.",
    ),
    "no_space_left": ReasonEntry(
        "Waiting: the platform's storage for this account is full.",
        "The uploads of this account have used up its storage quota.",
        hint="A verified account has 128 GiB instead of 2 GiB.",
        needs_person=True,
    ),
    "no_credits": ReasonEntry(
        "Waiting: the credits for this analysis are used up.",
        "Algorithm {algorithm}: the account has run out of credits.",
        hint="Ask the platform for credits, or wait for next month's.",
        needs_person=True,
    ),
    "not_ready": ReasonEntry(
        "Waiting: the analysis is not available at the moment.",
        "Algorithm {algorithm} has no container image that is ready.",
        hint="Ask the algorithm's editors.",
        needs_person=True,
    ),
    "busy": ReasonEntry(
        "Waiting: the platform is busy.",
        "The platform asked for a pause of {seconds} s ({message}).",
    ),
    "busy_long": ReasonEntry(
        "Waiting: the platform is busy.",
        "The platform asked for a pause of {asked}; next try in {seconds:span}.",
        hint="Ask the platform's support if this goes on.",
        needs_person=True,
    ),
    "insecure": ReasonEntry(
        "The platform asked for something unsafe; nothing was sent.",
        "The storage address {host} is not https.",
        hint="Please report this to the platform's support.",
        patience=5,
    ),
}
