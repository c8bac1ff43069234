"""What other programs, and people, call a key or a kind -> what it is called here."""

from __future__ import annotations

from collections.abc import Sequence

_ROWS = """
device: serial serial_number serialnumber camera_id ip ip_address address id gpu
host: ip ip_address address broker server hostname
url: ip ip_address address uri stream rtsp endpoint
path: file filename directory folder dir video
username: user login account
password: pass passwd pwd
transport: protocol rtsp_transport
ca_file: cafile ca ca_cert cacert certificate
secret: signing_key key
pixel_format: pixelformat format
input_format: pixelformat pixel_format format
exposure_us: exposure exposure_time shutter
gain_db: gain
packet_size_bytes: packet_size mtu
region_px: roi zone mask polygon area crop
rotate_deg: rotation rotate orientation
mm_per_px: scale mm_per_pixel resolution
speed_mm_s: speed velocity
sampling: interval fps rate
rate_hz: fps rate
prompts: words texts labels description phrases
counter_prompts: negative_prompts negatives exclude
threshold: confidence min_score score min_confidence
min_area_mm2: min_area min_size area
severity: priority level
defects: classes objects labels
alerts: outputs sinks mqtt webhook notifications
inspect: detect detector segmenter model models
workers: device devices gpu gpus threads
recorder: record recording recordings clips
max_age_days: retain_days retention_days retention keep_days
max_size_gb: max_size quota
web: ui http page
line: site plant
inputs: plc plcs modbus opcua opc_ua signals
rtsp: ip_camera ipcam onvif ip
usb: webcam v4l2 v4l uvc
gige: genicam gev aravis gigevision gige_vision
file: video mp4 movie
images: folder pictures directory image
synthetic: simulation sim test demo
webhook: http https rest post
"""
_WORDS = {ours: words.split() for ours, _, words in (row.partition(":") for row in _ROWS.split("\n"))}


def synonym(word: str, known: Sequence[str]) -> str:
    """The first of the known words that `word` stands for; "" where there is none."""
    return next((ours for ours in known if word in _WORDS.get(ours, ())), "")
