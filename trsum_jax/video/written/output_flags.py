"""The flags that say which files a summary has; without the extra `video`, so that help is there."""

from absl import flags


def define_mark_flags() -> None:
    """Declares those by which people choose; `recutting.parse_marks` reads them."""
    flags.DEFINE_string('keep', None, 'shots to show, by their numbers on the page: 3,5-7')
    flags.DEFINE_string('drop', None, 'shots not to show, as --keep')


def define_whole_flags() -> None:
    """Declares those of several videos; `planning` reads them."""
    flags.DEFINE_string('index', None, 'page of all summaries (.html), with theirs by default; empty: none')
    flags.DEFINE_string('together', None, 'one film of all summaries (.mp4, .mov, .webm); none by default')


def define_output_flags(again: bool = False) -> None:
    """Declares them; `planning` reads them.

    Args:
        again: of a summary that was written before, whose name and fades are the defaults.
    """
    name = 'NAME-cut2.mp4 by default' if again else 'NAME-summary.mp4 by default; a folder'
    flags.DEFINE_string('output', None, f'summary (.mp4, .mov, .webm), {name}')
    flags.DEFINE_string('page', None, 'page to look at (.html), beside the summary by default; empty: none')
    flags.DEFINE_string('json', None, 'scores, shots and times (.json), as --page')
    flags.DEFINE_string('storyboard', None, 'picture of key frames (.png), as --page')
    flags.DEFINE_string(
        'subtitles',
        None,
        'subtitles (.srt) cut along, as --page, where the video has some in it or beside it',
    )
    flags.DEFINE_string(
        'timeline',
        None,
        'timeline for an editor (.otio, .edl, .fcpxml, .xml); the ending alone: as --page; none by default',
    )
    flags.DEFINE_string('chapters', None, 'chapters, which the film has, as text too (.txt); as --timeline')
    flags.DEFINE_string('preview', None, 'small moving picture (.gif, .webp) of at most 5 MB, as --timeline')
    flags.DEFINE_string('clips', None, 'folder for the parts as films of their own')
    flags.DEFINE_string('stills', None, 'folder for a picture of each part (.jpg), of full size')
    text = 'seconds for which a part fades into the next one, up to 1; the film gets shorter by it'
    flags.DEFINE_float('crossfade', None if again else 0.0, text)
    tracks = 'sound tracks of the summary, its clips and its timeline'
    flags.DEFINE_enum('sound', 'all', ['all', 'main', 'none'], tracks)
