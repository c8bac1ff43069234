// Frames the event's own defect in its clip, which shows all others too: the clip's list has its box in each frame.

// A seek to the exact start of a frame may show the previous one.
export const HALF_A_FRAME_S = 0.002;

export class OwnDefect {
  constructor(video, frame) {
    this.video = video;
    this.frame = frame;
    this.list = null;
    this.timeS = 0;
    new ResizeObserver(() => this.place()).observe(video);
    const next = (_, { mediaTime }) => {
      this.timeS = mediaTime;
      this.place();
      video.requestVideoFrameCallback(next);
    };
    video.requestVideoFrameCallback?.(next);
  }

  // The list of the clip that is shown: {width_px, height_px, frames: [{time_s, box_xyxy_px}]}, or null.
  use(list) {
    this.list = list;
    this.place();
  }

  place() {
    const box = this.list && this.video.videoWidth ? this.box() : null;
    this.frame.hidden = !box;
    if (!box) return;
    const { width_px, height_px } = this.list;
    const scale = Math.min(this.video.clientWidth / width_px, this.video.clientHeight / height_px);
    const left = this.video.offsetLeft + (this.video.clientWidth - width_px * scale) / 2;
    const top = this.video.offsetTop + (this.video.clientHeight - height_px * scale) / 2;
    Object.assign(this.frame.style, {
      left: `${left + box[0] * scale}px`,
      top: `${top + box[1] * scale}px`,
      width: `${(box[2] - box[0]) * scale}px`,
      height: `${(box[3] - box[1]) * scale}px`,
    });
  }

  // Of the frame shown at this time: the last one that has begun.
  box() {
    const shown = this.list.frames.findLast((frame) => frame.time_s <= this.timeS + HALF_A_FRAME_S);
    return shown?.box_xyxy_px ?? null;
  }
}
