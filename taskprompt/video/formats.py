"""FFmpeg's demuxers and decoders that may read a file: those of common video formats.

FFmpeg has hundreds, many of them old and seldom tested, and only the content of a file decides which one runs. A recipe
can allow more by their FFmpeg names in `clip.formats`.
"""

DEMUXERS = (
    *("mov", "mp4", "m4a", "3gp", "3g2", "mj2", "matroska", "webm", "avi", "asf", "flv", "live_flv", "ogg", "gif"),
    *("mpegts", "mpeg", "mpegvideo", "m4v", "h264", "hevc", "vvc", "obu", "ivf", "av1", "mxf", "dv", "nut", "mjpeg"),
)
VIDEO_DECODERS = (
    *("h264", "hevc", "vvc", "av1", "libdav1d", "libaom-av1", "vp8", "vp9", "libvpx", "libvpx-vp9", "vp6", "vp6f"),
    *("mpeg1video", "mpeg2video", "mpeg4", "msmpeg4v1", "msmpeg4v2", "msmpeg4", "h263", "h263i", "h263p", "flv"),
    *("wmv1", "wmv2", "wmv3", "vc1", "theora", "mjpeg", "mjpegb", "jpeg2000", "dvvideo", "gif", "png", "rawvideo"),
    *("ffv1", "huffyuv", "ffvhuff", "utvideo", "qtrle", "prores", "dnxhd", "cfhd", "v210", "yuv4"),
)
# Opened when a file's streams are probed; audio itself is never decoded.
AUDIO_DECODERS = (
    *("aac", "aac_latm", "mp1", "mp1float", "mp2", "mp2float", "mp3", "mp3float", "ac3", "eac3", "opus", "libopus"),
    *("vorbis", "flac", "alac", "wmav1", "wmav2", "amrnb", "amrwb", "adpcm_ms", "adpcm_ima_wav", "adpcm_swf"),
    *("pcm_u8", "pcm_s8", "pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be", "pcm_s32le", "pcm_f32le"),
    *("pcm_alaw", "pcm_mulaw", "pcm_dvd", "pcm_bluray"),
)


def whitelists(more: tuple[str, ...]) -> dict[str, str]:
    """Options that restrict a demuxer to these lists and to local files. more: additional names."""
    return {
        "protocol_whitelist": "file",
        "format_whitelist": ",".join((*DEMUXERS, *more)),
        "codec_whitelist": ",".join((*VIDEO_DECODERS, *AUDIO_DECODERS, *more)),
    }
