"""State -> the document of `taowatch status --json` (DESIGN.md), and a document -> the text that people read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from typing import Any

from taowatch.core import wording
from taowatch.core.conflict import INFO
from taowatch.core.effects import Alert
from taowatch.core.facts import State
from taowatch.core.jobs import Container
from taowatch.core.model import MISSING, Conflict, Job, MountsFile, Owner, Project

VERSION = 1


def document(state: State, daemon: dict[str, Any]) -> dict[str, Any]:
    """The snapshot; `daemon` says whether one runs, its pid and since when."""
    file = state.files.get(state.mounts_file, MountsFile(state.mounts_file))
    return {
        "version": VERSION,
        "daemon": {**daemon, "docker": state.docker, "notifications": state.notifications},
        "mounts_file": _file(file),
        "other_files": [_file(f) for f in state.files.values() if f.path != state.mounts_file and f.state != MISSING],
        "jobs": [_job(job) for job in state.jobs],
        "conflicts": [{**_conflict(c), "kept": c.identity in state.kept} for c in state.conflicts],
        "projects": [_project(project) for project in state.projects],
        "alerts": [asdict(alert) for alert in state.alerts.values()],
        "not_ours": [_container(container) for container in state.not_ours],
        "gpus_shared_by": _sharing_gpus(state),
    }


def command_document(alert: Alert, job: Job | None, conflicts: Sequence[Conflict]) -> dict[str, Any]:
    """What the user's own command gets on its standard input: one alert with what it is about."""
    return {
        "version": VERSION,
        "severity": alert.severity,
        "title": alert.title,
        "body": alert.body,
        "job": _job(job) if job else None,
        "conflicts": [_conflict(conflict) for conflict in conflicts],
    }


def iso(seconds: float | None) -> str | None:
    """Seconds since the epoch as ISO 8601 in UTC."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds")


def text(document: dict[str, Any]) -> str:
    """`taowatch status` for people: conflicts first, as they are why one looks."""
    lines = [*_conflict_lines(document), *_file_lines(document["mounts_file"])]
    for file in document["other_files"]:
        lines += _file_lines(file)
    lines += _job_lines(document["jobs"]) + _other_lines(document)
    lines += _project_lines(document["projects"]) + _daemon_lines(document["daemon"])
    return "\n".join(wording.printable(line) for line in lines)


def _file(file: MountsFile) -> dict[str, Any]:
    return {
        "path": file.path,
        "state": file.state,
        "error": file.error,
        "revision": file.revision,
        "written_at": iso(file.written_at),
        "mounts": [{"source": m.source, "destination": m.destination} for m in file.mapping.mounts],
        "owner": _owner(file.owner),
    }


def _container(container: Container) -> dict[str, Any]:
    return {"id": container.id[:12], "image": container.image, "started_at": iso(container.created_at)}


def _sharing_gpus(state: State) -> list[str]:
    """The containers that asked for the GPUs, where it is more than one: the launcher asks for all of them."""
    asked = [container.id[:12] for container in state.containers.values() if container.gpus]
    return asked if len(asked) > 1 else []


def _owner(owner: Owner) -> dict[str, Any]:
    return {"project": owner.project, "notebook": owner.notebook, "pid": owner.pid, "what": owner.what}


def _job(job: Job) -> dict[str, Any]:
    return {
        "id": job.id,
        "state": job.state,
        "command": job.command,
        "image": job.image,
        "pid": job.pid,
        "started_at": iso(job.started_at),
        "project": job.owner.project,
        "notebook": job.owner.notebook,
        "mounts_file": job.mounts_file,
        "mounts": [{"source": source, "destination": destination} for destination, source in job.holds],
    }


def _conflict(conflict: Conflict) -> dict[str, Any]:
    return {
        "kind": conflict.kind,
        "severity": conflict.severity,
        "job": conflict.job,
        "destination": conflict.destination,
        "expected": conflict.expected,
        "actual": conflict.actual,
        "since": iso(conflict.since),
        "message": conflict.message,
    }


def _project(project: Project) -> dict[str, Any]:
    return {
        "directory": project.directory,
        "name": project.name,
        "notebook": project.notebook,
        "layout": project.layout,
        "allowed": project.allowed,
    }


def _conflict_lines(document: dict[str, Any]) -> list[str]:
    conflicts = document["conflicts"]
    if not conflicts:
        lines = ["No conflict" + (": every job would get its own folders again." if document["jobs"] else ".")]
    else:
        lines = [f"{len(conflicts)} conflict{'s' * (len(conflicts) > 1)}"]
        lines += [f"  {c['severity']:8}  {c['message']}{'  (kept)' * c['kept']}" for c in conflicts]
    for alert in document["alerts"]:
        lines += ["", f"  {alert['title']}", *(f"    {line}" for line in alert["body"].splitlines())]
    if conflicts and not document["alerts"] and any(c["severity"] != INFO for c in conflicts):
        lines.append("  `taowatch restore` puts the mapping back, `taowatch history` shows what there is.")
    return lines


def _file_lines(file: dict[str, Any]) -> list[str]:
    revision = f", revision {file['revision']}" if file["revision"] else ""
    lines = ["", f"Mounts file  {file['path']}  ({file['state']}{revision})"]
    if file["error"]:
        lines.append(f"  {file['error']}")
    lines += [f"  {m['destination']}  ->  {m['source']}" for m in file["mounts"]]
    owner = file["owner"]
    if owner["notebook"] or owner["project"] or owner["what"]:
        lines.append(f"  written {file['written_at']} by {_owner_text(owner)}")
    return lines


def _owner_text(owner: dict[str, Any]) -> str:
    return wording.who(Owner(owner["project"], owner["notebook"], owner["pid"], bool(owner["what"]), owner["what"]))


def _job_lines(jobs: list[dict[str, Any]]) -> list[str]:
    if not jobs:
        return ["", "Jobs  none"]
    lines = ["", "Jobs"]
    for job in jobs:
        where = job["notebook"] or job["project"] or ""
        lines.append(f"  {job['id']}  {job['state']:8}  {job['command'] or job['image'] or ''}  {where}".rstrip())
        lines += [f"    {m['destination']}  ->  {m['source']}" for m in job["mounts"]]
    return lines


def _other_lines(document: dict[str, Any]) -> list[str]:
    lines = []
    if document["not_ours"]:
        lines += ["", "TAO containers that are not yours, or that you started without the launcher"]
        lines += [f"  {container['id']}  {container['image']}" for container in document["not_ours"]]
    if document["gpus_shared_by"]:
        count = len(document["gpus_shared_by"])
        lines += ["", f"All GPUs are shared by {count} containers: each asked for all of them."]
    return lines


def _project_lines(projects: list[dict[str, Any]]) -> list[str]:
    if not projects:
        return []
    allowed = {True: "allowed", False: "not allowed: taowatch allow"}
    return [
        "",
        "Projects",
        *(f"  {p['name']}  {p['directory']}  ({allowed[p['allowed']]})" for p in projects),
    ]


def _daemon_lines(daemon: dict[str, Any]) -> list[str]:
    if daemon["running"]:
        since = f", since {daemon['since']}" if daemon["since"] else ""
        running = f"running (pid {daemon['pid']}{since})"
    else:
        running = "not running: no warnings will come. Start it: systemctl --user start taowatch, or taowatch daemon"
    return [
        "",
        f"Daemon  {running}",
        f"  Docker: {daemon['docker']}" + (f" ({daemon['engine']})" if daemon.get("engine") else ""),
        f"  Notifications: {daemon['notifications']}",
    ]
