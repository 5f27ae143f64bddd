// Where the service is on this host: "", or the path that a proxy puts before all others, such as "/events".

export const ROOT = new URL("../../..", import.meta.url).pathname.slice(0, -1);
