# SPDX-License-Identifier: MIT
"""What if C were a little larger? A task set with sliders; its verdicts and its schedule follow at once."""

from __future__ import annotations

import html
from typing import Any

import anywidget
import ipywidgets as widgets
import traitlets

from rtnb.theory.taskset import TaskSet
from rtnb.widgets.panel import FIELDS, POLICIES, Panel, View

__all__ = ["Picture", "TaskSetPanel"]

_ESM = """
const marks = el => [...el.querySelectorAll('[data-mark]')];

function draw(model, picture) {
  const page = new DOMParser().parseFromString(model.get('svg'), 'image/svg+xml');
  picture.replaceChildren(document.importNode(page.documentElement, true));
  const drawing = picture.firstElementChild;
  drawing.style.maxWidth = '100%';
  drawing.style.height = 'auto';
  marks(picture).forEach(mark => { mark.style.cursor = 'pointer'; });
  choose(model, picture);
}

function choose(model, picture) {
  const chosen = JSON.stringify(model.get('chosen'));
  for (const mark of marks(picture)) {
    const here = JSON.stringify(JSON.parse(mark.dataset.mark)) === chosen;
    mark.style.stroke = here ? '#000000' : '';
    mark.style.strokeWidth = here ? '2' : '';
  }
}

function pick(model, mark) {
  model.set('chosen', JSON.parse(mark));
  model.save_changes();
}

function step(model, picture, by) {
  const jobs = [...new Set(marks(picture).map(mark => mark.dataset.mark))];
  const chosen = JSON.stringify(model.get('chosen'));
  const at = jobs.findIndex(job => JSON.stringify(JSON.parse(job)) === chosen);
  if (jobs.length) pick(model, jobs[at < 0 ? 0 : (at + by + jobs.length) % jobs.length]);
}

function render({ model, el }) {
  const picture = document.createElement('div');
  const words = document.createElement('div');
  picture.className = 'rtnb-picture';
  picture.tabIndex = 0;
  picture.setAttribute('role', 'application');
  picture.setAttribute('aria-label', 'the schedule: left and right arrows go from job to job');
  words.className = 'rtnb-why';
  words.setAttribute('role', 'status');
  words.style.minHeight = '1.6em';
  const say = () => { words.textContent = model.get('words'); };
  const redraw = () => draw(model, picture);
  const rechoose = () => choose(model, picture);
  picture.addEventListener('click', event => {
    const mark = event.target.closest('[data-mark]');
    if (mark) pick(model, mark.dataset.mark);
  });
  picture.addEventListener('keydown', event => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    event.preventDefault();
    event.stopPropagation();
    step(model, picture, by);
  });
  model.on('change:svg', redraw);
  model.on('change:chosen', rechoose);
  model.on('change:words', say);
  el.append(picture, words);
  redraw();
  say();
  return () => {
    model.off('change:svg', redraw);
    model.off('change:chosen', rechoose);
    model.off('change:words', say);
  };
}
export default { render };
"""


class Picture(anywidget.AnyWidget):
    """An SVG whose marks can be clicked, or reached with the arrow keys: `chosen` is the data of the last one."""

    _esm = _ESM
    svg = traitlets.Unicode("").tag(sync=True)
    chosen: traitlets.List[Any] = traitlets.List().tag(sync=True)
    words = traitlets.Unicode("").tag(sync=True)


class TaskSetPanel(widgets.VBox):  # type: ignore[misc]
    """Sliders for C, T and D of each task, and a policy; the ladder of tests and the schedule follow at once.

    Click a job (or press an arrow key on the picture): why it waited. `panel.taskset` is the set as it stands. Where
    nothing can be moved, on a page or in an exported notebook, it is a picture and a table. Raises BadInput for more
    than 20 tasks, and an unknown policy or protocol.
    """

    def __init__(self, ts: TaskSet, policy: str = "fp", *, protocol: str = "none") -> None:
        self.model = Panel(ts, policy, protocol)
        self.policy = widgets.Dropdown(options=POLICIES, value=policy, description="policy")
        self.sliders = {key: self._slider(*key) for key in self.model.steps}
        self.says, self.ladder, self.picture = widgets.HTML(), widgets.HTML(), Picture()
        self._moving = False
        self.policy.observe(self._chose, "value")
        for key, slider in self.sliders.items():
            slider.observe(self._mover(*key), "value")
        self.picture.observe(self._picked, "chosen")
        super().__init__([self.policy, self._grid(), self.says, self.picture, self.ladder])
        self._show(self.model.view())

    @property
    def taskset(self) -> TaskSet:
        """The set as it stands. Raises BadInput for what is none."""
        return self.model.taskset

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        """The live panel, and beside it what a page shows that has no kernel."""
        return {**super()._repr_mimebundle_(**options), "text/html": self.model.view().to_html()}

    def _slider(self, name: str, field: str) -> widgets.FloatSlider:
        """A slider in the unit of the picture's axis."""
        scale, ticks = self.model.scale, self.model.step_ticks
        step = float(scale(ticks))
        low, high = self.model.range(name, field)
        return widgets.FloatSlider(
            value=step * self.model.steps[name, field],
            min=step * low,
            max=step * high,
            step=step,
            readout_format=f".{_decimals(step)}f",
            description=f"{field}{f', {scale.drawn}' if scale.drawn else ''}",
            style={"description_width": "45px"},
            layout={"width": "98%"},
        )

    def _grid(self) -> widgets.GridBox:
        cells: list[widgets.Widget] = []
        for task in self.model.origin:
            cells += [widgets.HTML(f"<b>{html.escape(task.name)}</b>"), *(self.sliders[task.name, f] for f in FIELDS)]
        columns = "minmax(60px, max-content) repeat(3, minmax(200px, 1fr))"
        return widgets.GridBox(cells, layout={"grid_template_columns": columns, "width": "100%"})

    def _mover(self, name: str, field: str) -> Any:
        def moved(change: Any) -> None:
            if not self._moving:
                self._show(self.model.set(name, field, round(change["new"] / self.sliders[name, field].step)))

        return moved

    def _chose(self, change: Any) -> None:
        self._show(self.model.choose(change["new"]))

    def _picked(self, change: Any) -> None:
        self.picture.words = self._why(change["new"])

    def _why(self, chosen: list[Any]) -> str:
        if len(chosen) == 2 and isinstance(chosen[0], str) and type(chosen[1]) is int:  # the page may say anything
            return self.model.why(*chosen)
        return "click a job: why it waited"

    def _show(self, view: View) -> None:
        self._moving = True  # a deadline that follows its period is not moved by anybody
        try:
            for key, slider in self.sliders.items():
                slider.value = slider.step * self.model.steps[key]
        finally:
            self._moving = False
        self.says.value, self.ladder.value = view.words(), view.table()
        self.picture.svg, self.picture.words = view.svg, self._why(self.picture.chosen)


def _decimals(step: float) -> int:
    """How many decimals a multiple of a step has; three, where they have no end."""
    return next((n for n in range(4) if abs(step * 10**n - round(step * 10**n)) < 1e-9 and round(step * 10**n)), 3)
