import initial from "./0001_initial.ts"
import resume from "./0002_resume.ts"
import interrupted from "./0003_interrupted.ts"
import routing from "./0004_routing.ts"
import undo from "./0005_undo.ts"
import lost from "./0006_lost.ts"
import stats from "./0007_stats.ts"
import paused from "./0008_paused.ts"

/** All migrations, in order; keys are `number_name`. A released one is never changed. */
export const migrations = {
  "0001_initial": initial,
  "0002_resume": resume,
  "0003_interrupted": interrupted,
  "0004_routing": routing,
  "0005_undo": undo,
  "0006_lost": lost,
  "0007_stats": stats,
  "0008_paused": paused
}
